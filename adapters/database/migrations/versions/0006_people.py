"""people and their tokens

Revision: 0006
After: 0005
"""

from alembic import op
import sqlalchemy as sa

import adapters.database.tables


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('people',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('roles', sa.JSON(), nullable=False),
    sa.Column('agencies', sa.JSON(), nullable=False),
    sa.Column('created_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.Column('closed_at', adapters.database.tables.Time(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_people')),
    sa.UniqueConstraint('name', name=op.f('uq_people_name'))
    )
    op.create_table('person_tokens',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('person_id', sa.String(length=36), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.Column('expires_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['person_id'], ['people.id'], name=op.f('fk_person_tokens_person_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_person_tokens')),
    sa.UniqueConstraint('sha256', name=op.f('uq_person_tokens_sha256'))
    )
    with op.batch_alter_table('person_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_person_tokens_person_id'), ['person_id'], unique=False)
