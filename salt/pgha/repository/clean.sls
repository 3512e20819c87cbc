# Stops pgBackRest and removes what the formula installed. The repositories and their user stay.
pgBackRest does not run:
  pgha_unit.stopped:
    - unit: pgha-repository.service

Nothing of pgBackRest's server is left:
  file.absent:
    - names:
      - /etc/systemd/system/pgha-repository.service
      - /etc/pgha/tls/repository.pem
      - /run/pgha/repository.authorities-unread
      - /run/pgha/repository.reload-owed
      - /run/pgha/pgha-repository.started-with
    - require:
      - pgha_unit: pgBackRest does not run

The formula's pgBackRest is not set up:
  pgha_backup.absent:
    - require:
      - pgha_unit: pgBackRest does not run

No version of pgBackRest is unpacked:
  pgha_clean.release:
    - path: /opt/pgbackrest
    - program: pgbackrest
    - require:
      - pgha_unit: pgBackRest does not run

systemd has forgotten pgBackRest:
  pgha_unit.read:
    - unit: pgha-repository.service
    - require:
      - file: Nothing of pgBackRest's server is left
