"""Native code where packets are: Cython modules here, and beside them the Cargo workspace of `chorale_engine`."""
