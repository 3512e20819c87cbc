# When all members run with the data as they were, and do what their role says.
This host has ended the restore:
  pgha_restore.done: []
