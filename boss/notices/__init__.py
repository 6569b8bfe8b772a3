"""Telling people: what is worth a message, to whom it goes, and when. Pure; who sends is in ``boss.adapters``."""
