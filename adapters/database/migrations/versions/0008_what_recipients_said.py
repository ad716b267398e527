"""what a recipient's software said last of a copy in its list

Revision: 0008
After: 0007
"""

from alembic import op
import sqlalchemy as sa

import adapters.database.tables


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.add_column(sa.Column('noted', sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column('noted_why', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('noted_at', adapters.database.tables.Time(timezone=True), nullable=True))
