//! One task's output on its way to one reader: what is asked of the runtime, and what was read
//! before.

use crate::runtime::{LogItem, LogQuery, LogStream, Runtime, RuntimeError};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use skep_proto::{Id, Timestamp, v1::LogOrder};
use std::sync::Arc;

pub(super) struct OutputSource {
    index: usize,
    pub(super) task: Id,
    pub(super) name: String,
    query: LogQuery,
    /// Lines of exactly `query.since` that the reader has already, where it goes on.
    had: u64,
    /// None while something is being read.
    pub(super) lines: Option<LogStream>,
}

/// What was read of one source.
pub(super) enum SourceRead {
    Opened(usize, Result<LogStream, RuntimeError>),
    Read(usize, LogStream, Option<Result<LogItem, RuntimeError>>),
}

impl OutputSource {
    pub(super) fn new(task: Id, name: String, order: &LogOrder) -> OutputSource {
        let mut query = LogQuery {
            tail: order.tail,
            since: Timestamp(order.since_at),
            until: Timestamp(order.until_at),
            follow: order.follow,
            stdout: !order.no_stdout,
            stderr: !order.no_stderr,
        };
        let mut had = 0;
        let before = order.resume.iter().find(|resume| Id::from_bytes(&resume.task_id) == task);
        if let Some(before) = before {
            query.tail = None;
            query.since = query.since.max(Timestamp(before.read_at));
            had = before.read_lines;
        }
        OutputSource { index: 0, task, name, query, had, lines: None }
    }

    pub(super) fn open(
        &mut self,
        index: usize,
        runtime: Arc<dyn Runtime>,
    ) -> BoxFuture<'static, SourceRead> {
        self.index = index;
        let (task, query) = (self.task, self.query.clone());
        Box::pin(async move { SourceRead::Opened(index, runtime.logs(task, query).await) })
    }

    /// Reads the next item, if nothing is being read.
    pub(super) fn read_on(&mut self, reads: &mut FuturesUnordered<BoxFuture<'static, SourceRead>>) {
        let index = self.index;
        if let Some(mut lines) = self.lines.take() {
            reads.push(Box::pin(async move {
                let item = lines.next().await;
                SourceRead::Read(index, lines, item)
            }));
        }
    }

    /// The item, unless the reader had it before.
    pub(super) fn wanted(&mut self, item: LogItem) -> Option<LogItem> {
        if let LogItem::Line(line) = &item
            && self.had > 0
        {
            if line.at == self.query.since {
                self.had -= 1;
                return None;
            }
            self.had = 0;
        }
        Some(item)
    }
}

/// Lost lines are merged directly behind the line before them.
pub(super) fn time_of(item: &LogItem) -> Timestamp {
    match item {
        LogItem::Line(line) => line.at,
        LogItem::Lost(_) => Timestamp::NEVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::LogLine;
    use skep_proto::v1::{LogResume, LogSource};

    fn line(at: u64) -> LogItem {
        LogItem::Line(LogLine { at: Timestamp(at), source: LogSource::Stdout, text: "x".into() })
    }

    #[test]
    fn a_reader_goes_on_behind_the_last_line_that_it_had() {
        let resume = vec![LogResume { task_id: Id(7).to_bytes(), read_at: 5, read_lines: 2 }];
        let order = LogOrder { tail: Some(3), since_at: 2, resume, ..LogOrder::default() };
        let mut source = OutputSource::new(Id(7), "web.1".into(), &order);
        assert_eq!((source.query.since, source.query.tail), (Timestamp(5), None));
        let wanted: Vec<bool> = [5, 5, 5, 6].map(|at| source.wanted(line(at)).is_some()).into();
        assert_eq!(wanted, [false, false, true, true]);
        let mut fresh = OutputSource::new(Id(8), "web.2".into(), &order);
        assert_eq!((fresh.query.since, fresh.query.tail), (Timestamp(2), Some(3)));
        assert!(fresh.wanted(line(2)).is_some());
    }

    #[test]
    fn where_the_last_line_is_kept_no_more_the_next_one_is_wanted() {
        let resume = vec![LogResume { task_id: Id(7).to_bytes(), read_at: 5, read_lines: 1 }];
        let order = LogOrder { resume, ..LogOrder::default() };
        let mut source = OutputSource::new(Id(7), "web.1".into(), &order);
        assert!(source.wanted(line(6)).is_some());
        assert!(source.wanted(line(6)).is_some());
    }
}
