"""What `greylord analyze` finds out about runs and recordings."""
