"""Exports: the compiled models for hosts that are not ours to start, as a folder of files."""
