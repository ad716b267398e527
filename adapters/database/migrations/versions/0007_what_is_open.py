"""indexes over deliveries under way and time limits that are not settled

Revision: 0007
After: 0006
"""

from alembic import op
import sqlalchemy as sa


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('accepted', 'queued', 'offered', 'delivering', 'unknown', 'held', 'dead')")
UNSETTLED = sa.text("state IN ('open', 'overdue')")


def upgrade() -> None:
    op.create_index('ix_deliveries_open', 'deliveries', ['state', 'id'], unique=False, postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_index('ix_deadlines_unsettled', 'deadlines', ['due_at'], unique=False, postgresql_where=UNSETTLED, sqlite_where=UNSETTLED)
