# What the formula brings of its own: first of all, because the states after it are made of it.
The formula's modules are on this host:
  saltutil.sync_all:
    - refresh: True
