//! Flags that say how an answer is shown.

use super::show::Truncation;
use clap::Args;

/// How a list is shown.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ListStyle {
    /// Show only what matches KEY=VALUE. Values of one key are alternatives; several keys, and
    /// several labels, must all match
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// table, json, or a template such as '{{.ID}} {{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print only ids
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Do not shorten ids and errors
    #[arg(long)]
    pub no_trunc: bool,
}

impl ListStyle {
    /// Whether ids and errors are shortened.
    pub(super) fn truncation(&self) -> Truncation {
        if self.no_trunc { Truncation::Full } else { Truncation::Shortened }
    }
}

/// How objects are shown in full.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct InspectStyle {
    /// json (the default), table, or a template such as '{{.ID}} {{json .Spec}}'
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print a summary for people
    #[arg(long, conflicts_with = "format")]
    pub pretty: bool,
}
