"""Breaking a devnet on purpose, and saying whether it kept its promises: ``rollnet chaos run scenarios/sequencer-kill.yaml``.

::

    scenario.yaml ─► load ─► ScenarioPlan ─► run ─► Findings ─► report (report.md, report.html, latency.svg, chaos.json, junit.xml)
                                              │
          launch ─► warm-up ─► baseline ─► schedule ─► recovery ─► after ─► drain ─► observe ─► check ─► report ─► down
                                              │
              journals, heights ─► lookout ─► nemesis ─► injections (lives, crashes, links, machine, L1, clocks)

    seed ─► drawing ─► a scenario file ─► run ─► explore (the next seed, or the fewest faults that still fail)

Pure: ``spec`` and ``fault_spec`` (the file), ``ground`` (the devnet before it is launched), ``rules``, ``resolve``, ``plan``, ``triggers``,
``statistics``, ``plot``, ``drawing`` and the pages. Edges: ``feed``, ``lookout``, ``nemesis``, the injections, ``stages``, ``run`` (the spine).
"""
