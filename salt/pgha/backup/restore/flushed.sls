# On the leader of a cluster that is copied to the hosts of another one.
What was committed is in the archive:
  pgha_restore.flushed: []
