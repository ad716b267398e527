"""Command line of lienthong."""


def main() -> None:
    """Entry point."""
