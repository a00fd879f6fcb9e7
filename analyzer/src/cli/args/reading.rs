//! How policies are read, for every verb that judges by them.

use super::generate::Cni;
use crate::policy::profile::Profile;

/// The reading that was asked for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Reading {
    /// Network plugin that enforces the policies
    ///
    /// Plugins differ in whether an `ipBlock` matches pods and nodes of the cluster. It does unless this names a plugin for
    /// which it does not.
    #[arg(long, value_enum, value_name = "NAME")]
    pub cni: Option<Cni>,
}

impl Reading {
    /// What is known of the plugin; of none in particular where none is named.
    #[must_use]
    pub fn profile(self) -> Profile {
        self.cni.map_or(Profile::Generic, Cni::profile)
    }
}
