"""The command line: thin, it parses, calls and prints. One file a group of commands."""
