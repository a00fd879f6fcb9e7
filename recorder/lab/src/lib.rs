//! A toy cluster on one Linux machine, for live tests and the demo.
