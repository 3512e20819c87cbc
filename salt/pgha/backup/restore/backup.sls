# On the member that leads after the restore.
There is a backup of the restored data:
  pgha_restore.backed_up: []
