"""Files that the runtime's own tools read: deps.json, chip_swimlane_records.json, merged swimlane, pmu.csv, args_dump.

Schemas: simpler docs/dfx. All of them lie below `dfx_outputs` of a run directory, under upstream's names.
"""
