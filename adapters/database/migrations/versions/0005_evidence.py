"""evidence: seals over the event log, signed receipts

Revision: 0005
After: 0004
"""

from alembic import op
import sqlalchemy as sa

import adapters.database.tables


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('event_seals',
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('root', sa.String(length=64), nullable=False),
    sa.Column('previous', sa.String(length=64), nullable=False),
    sa.Column('events', sa.Integer(), nullable=False),
    sa.Column('first_seq', sa.BigInteger(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('sealed_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.Column('signed', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_event_seals'))
    )
    op.create_table('sealed_events',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('seal', sa.Integer(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['seal'], ['event_seals.number'], name=op.f('fk_sealed_events_seal')),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_sealed_events'))
    )
    with op.batch_alter_table('sealed_events', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sealed_events_seal'), ['seal'], unique=False)

    op.create_table('receipts',
    sa.Column('package_id', sa.String(length=36), nullable=False),
    sa.Column('signed', sa.Text(), nullable=False),
    sa.Column('created_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['package_id'], ['packages.id'], name=op.f('fk_receipts_package_id')),
    sa.PrimaryKeyConstraint('package_id', name=op.f('pk_receipts'))
    )
    with op.batch_alter_table('packages', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_packages_digest'), ['digest'], unique=False)
