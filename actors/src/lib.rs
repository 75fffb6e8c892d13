//! The rules, actors and ports of GenCharge.
