//! The kernel programs of the recorder, and the ABI they share with it.
