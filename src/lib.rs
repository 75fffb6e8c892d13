//! GenCharge.
