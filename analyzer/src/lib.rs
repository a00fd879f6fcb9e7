//! Replays tapes offline into NetworkPolicies, proofs and diffs.
