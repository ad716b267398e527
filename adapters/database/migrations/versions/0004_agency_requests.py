"""agencies that partners register and remove; an index for what a connection sent

Revision: 0004
After: 0003
"""

from alembic import op
import sqlalchemy as sa

import adapters.database.tables


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('agency_requests',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('connection_id', sa.String(length=36), nullable=False),
    sa.Column('action', sa.String(length=10), nullable=False),
    sa.Column('organ_key', sa.String(length=40), nullable=False),
    sa.Column('organ_id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('requested_at', adapters.database.tables.Time(timezone=True), nullable=False),
    sa.Column('particulars', sa.JSON(), nullable=False),
    sa.Column('decided_at', adapters.database.tables.Time(timezone=True), nullable=True),
    sa.Column('decided_by', sa.String(length=120), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['connection_id'], ['connections.id'], name=op.f('fk_agency_requests_connection_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agency_requests'))
    )
    op.create_index('ix_agency_requests_agency', 'agency_requests', ['organ_key', 'connection_id'], unique=False)
    op.create_index('ix_packages_sent', 'packages', ['connection_id', 'kind', 'id'], unique=False)
