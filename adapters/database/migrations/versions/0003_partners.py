"""partners: secrets, leases, since when a connection has its status

Revision: 0003
After: 0002
"""

from alembic import op
import sqlalchemy as sa

import adapters.database.tables


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('connection_secrets',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('connection_id', sa.String(length=36), nullable=False),
    sa.Column('purpose', sa.String(length=40), nullable=False),
    sa.Column('sealed', sa.Text(), nullable=False),
    sa.Column('created_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.Column('expires_at', adapters.database.tables.Time(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['connection_id'], ['connections.id'], name=op.f('fk_connection_secrets_connection_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_connection_secrets'))
    )
    with op.batch_alter_table('connection_secrets', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_connection_secrets_connection_id'), ['connection_id'], unique=False)

    op.create_table('leases',
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('owner', sa.String(length=64), nullable=False),
    sa.Column('until', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_leases'))
    )
    op.add_column('connections', sa.Column('status_since', adapters.database.tables.Time(timezone=True), nullable=True))
