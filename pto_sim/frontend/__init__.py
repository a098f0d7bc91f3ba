"""From decorated source to a callable kernel."""
