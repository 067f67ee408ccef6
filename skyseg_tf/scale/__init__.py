"""Work that is spread over machines, by Ray: nothing here is imported without `--engine ray`."""
