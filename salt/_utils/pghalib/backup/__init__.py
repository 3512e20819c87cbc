"""Backups by pgBackRest: repositories, configuration, schedule, what is there."""
