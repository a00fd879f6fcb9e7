//! Edges and their evidence: who was the client of whom, on which port of the server.

pub mod edge;
