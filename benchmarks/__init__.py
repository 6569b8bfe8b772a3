"""What ecloud costs beside running the same commands without it; measured through the public interfaces only."""
