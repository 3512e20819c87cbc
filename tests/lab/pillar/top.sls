base:
  '*':
    - pgha
