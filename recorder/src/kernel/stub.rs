//! The same interface where there is nothing to record.

use std::time::Duration;

use flowtape_recorder_ebpf::abi::control::SampleLimits;

use super::config::{Drained, Hook, HookCounters, KernelConfig};
use super::error::KernelError;
use super::record::Record;

/// Cannot be made on this operating system.
#[derive(Debug)]
pub struct Kernel(std::convert::Infallible);

impl Kernel {
    /// Fails: there are no such programs here.
    pub fn load(_config: &KernelConfig) -> Result<Self, KernelError> {
        Err(KernelError::NotLinux)
    }

    /// Never called.
    #[must_use]
    pub fn attached_ns(&self) -> u64 {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        match self.0 {}
    }

    /// Never called.
    pub fn poll_events(&mut self, _each: &mut dyn FnMut(Record)) -> Result<usize, KernelError> {
        match self.0 {}
    }

    /// Never called.
    pub fn wait(&self, _timeout: Duration) -> Result<bool, KernelError> {
        match self.0 {}
    }

    /// Never called.
    pub fn drain(&mut self) -> Result<Drained, KernelError> {
        match self.0 {}
    }

    /// Never called.
    pub fn set_sample_limits(&mut self, _limits: SampleLimits) -> Result<(), KernelError> {
        match self.0 {}
    }

    /// Never called.
    pub fn counters(&self) -> Result<Vec<HookCounters>, KernelError> {
        match self.0 {}
    }

    /// Never called.
    pub fn stop(&mut self) -> Result<u64, KernelError> {
        match self.0 {}
    }
}
