"""Metal without a Mac: kernels are compiled for this CPU, behind the calls of pyobjc that the backend makes."""
