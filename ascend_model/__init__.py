"""A cycle model of the Ascend a2a3 chip and its on-device runtime. It knows nothing of pto_sim."""
