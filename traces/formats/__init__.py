"""Readers and writers of other tools' formats, and of ours: see ``docs/formats.md``."""
