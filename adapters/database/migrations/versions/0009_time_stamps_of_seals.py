"""time stamps of seals

Revision: 0009
After: 0008
"""

from alembic import op
import sqlalchemy as sa


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('event_seals', schema=None) as batch_op:
        batch_op.add_column(sa.Column('stamp', sa.LargeBinary(), nullable=True))
