"""What benchmarks/faults.py kills, how, and how it compares what is left."""
