"""Task files: text to validated tasks. ``expansion.expand`` is the way in; everything here is pure."""
