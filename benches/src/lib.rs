//! Benchmarks, and the seeded clusters and traffic they run on.
