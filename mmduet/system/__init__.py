"""The machine: devices, memory, processes, threads, signals. This folder knows no model and no video.

devices     the device and the precision of a model, and errors where its memory is full
machine     its name: the GPU, or the processor and its cores
memory      peak memory of a process or device, and memory given back to the system
workers     a function over many items, in processes
threads     threads that end before the program does
interrupts  what SIGTERM and Ctrl-C do in a block
stages      seconds by stage of the work
imports     large packages, imported in less time
objects     objects by name
packages    versions of the packages
photographs pictures that packages carry
"""
