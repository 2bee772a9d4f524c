"""The machine: devices, memory, processes, threads, signals. Nothing here knows a model or a video."""
