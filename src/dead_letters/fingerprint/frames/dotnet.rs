//! .NET stack traces, as `Exception.ToString` writes them: causes after `--->`, innermost frames first.

use super::{Block, Frame, header, libraries};

/// Whether what follows `at ` is a .NET frame.
pub(super) fn is_frame(text: &str) -> bool {
    let Some((name, rest)) = text.split_once('(') else { return false };
    let closed = rest.ends_with(')') || rest.contains(") in ");
    closed && name.contains('.') && !name.trim().contains(' ')
}

/// A line as a frame. State machines of async methods and lambdas are told by the method they come from.
pub(super) fn frame(line: &str) -> Option<Frame<'_>> {
    let text = line.trim();
    let (name, rest) = text.strip_prefix("at ")?.split_once('(')?;
    let place = rest.split_once(") in ").map(|(_, place)| place);
    let (file, number) = place.map_or((None, None), |place| match place.rsplit_once(":line ") {
        Some((file, number)) => (Some(file), number.trim().parse().ok()),
        None => (Some(place), None),
    });
    let (module, function) = method(name);
    Some(Frame { text, module, function, file, line: number, library: libraries::dotnet(name), application: false })
}

/// `Shop.Orders.<Place>d__5.MoveNext` is `Place` of `Shop.Orders`.
fn method(name: &str) -> (Option<&str>, &str) {
    let generated =
        name.rfind('<').and_then(|at| name[at + 1..].split_once('>').map(|(inside, _)| inside)).filter(|inside| !inside.is_empty());
    if let Some(function) = generated {
        let module = name.split('<').next().map(|module| module.trim_end_matches('.'));
        return (module.filter(|module| !module.is_empty()), function);
    }
    let plain = name.split('[').next().unwrap_or(name);
    plain.rsplit_once('.').map_or((None, plain), |(module, function)| (Some(module.trim_end_matches('.')), function))
}

struct Open {
    header: usize,
    header_end: usize,
    first_frame: Option<usize>,
    last_frame: usize,
    frames: usize,
}

impl Open {
    const fn at(header: usize) -> Self {
        Self { header, header_end: header, first_frame: None, last_frame: header, frames: 0 }
    }

    fn close<'a>(&self, stack: &'a str) -> Block<'a> {
        let (class, message) = header::class_and_message(&stack[self.header..self.header_end.max(self.header)]);
        let lines = self.first_frame.map_or("", |first| &stack[first..self.last_frame]);
        Block { class, message, lines, frames: self.frames, ..Block::default() }
    }
}

/// The exceptions, root cause first.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let mut open = vec![Open::at(0)];
    let mut done = Vec::new();
    let mut start = 0;
    for raw in stack.split_inclusive('\n') {
        let (line_start, end) = (start, start + raw.trim_end().len());
        start += raw.len();
        let line = raw.trim();
        if line.starts_with("---> (Inner Exception #") {
            // The inner exceptions of an AggregateException once more.
            break;
        }
        let Some(innermost) = open.last_mut() else { break };
        if line.starts_with("at ") && line.contains('(') {
            innermost.first_frame.get_or_insert(line_start);
            innermost.last_frame = end;
            innermost.frames += 1;
        } else if line.starts_with("--- End of inner exception") {
            if open.len() > 1 {
                done.extend(open.pop().map(|inner| inner.close(stack)));
            }
        } else if !line.starts_with("--- ") && innermost.first_frame.is_none() {
            let mut behind = line_start;
            for (at, arrow) in stack[line_start..end.max(line_start)].match_indices("---> ") {
                if let Some(outer) = open.last_mut() {
                    outer.header_end = line_start + at;
                }
                behind = line_start + at + arrow.len();
                open.push(Open::at(behind));
            }
            if let Some(innermost) = open.last_mut() {
                innermost.header_end = end.max(behind);
            }
        }
    }
    done.extend(open.iter().rev().map(|open| open.close(stack)));
    done.retain(|block| block.class.is_some() || block.message.is_some() || block.frames > 0);
    done
}
