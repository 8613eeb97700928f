//! A table in boxes.
//!
//! Where a person watches, at most [`Surface::rows`] rows are shown, the first and the last half, and columns are cut
//! until a line fits. Everywhere else all rows and columns are written: the widths come from the first
//! [`ROWS_BEFORE_WIDTHS`] rows, and a later cell that is wider pushes its line's border out.

use std::collections::VecDeque;
use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cells::{Cell, Cells, escape_control, is_number, type_name};
use super::{RenderError, Renderer, Shown, Surface};

/// Rows held back to find the widths where nothing is cut.
const ROWS_BEFORE_WIDTHS: usize = 10_000;
/// A column is cut to no less than this before whole columns are left out.
const WIDTH_MIN: usize = 12;

pub(super) struct Table {
    columns: Vec<Column>,
    surface: Surface,
    /// The first rows; empty again once `layout` is fixed.
    head: Vec<Vec<Cell>>,
    /// The last rows, on a terminal only.
    tail: VecDeque<Vec<Cell>>,
    layout: Option<Layout>,
    rows: u64,
}

struct Column {
    name: String,
    type_name: String,
    right: bool,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, surface: Surface) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column {
                name: escape_control(field.name()).into_owned(),
                type_name: escape_control(&type_name(field.data_type())).into_owned(),
                right: is_number(field.data_type()),
            })
            .collect();
        Self { columns, surface, head: Vec::new(), tail: VecDeque::new(), layout: None, rows: 0 }
    }

    fn keep_ends(&mut self, most: usize, batch: &RecordBatch, cells: &Cells<'_>) -> Result<(), RenderError> {
        let for_head = (most - self.head.len()).min(batch.num_rows());
        for row in 0..for_head {
            self.head.push(cells.readable(row)?);
        }
        // Only the batch's last rows can end up among the result's last.
        let for_tail = for_head.max(batch.num_rows().saturating_sub(most / 2));
        for row in for_tail..batch.num_rows() {
            if self.tail.len() == most / 2 {
                self.tail.pop_front();
            }
            self.tail.push_back(cells.readable(row)?);
        }
        Ok(())
    }

    fn stream(&mut self, batch: &RecordBatch, cells: &Cells<'_>, out: &mut dyn Write) -> Result<(), RenderError> {
        for row in 0..batch.num_rows() {
            let values = cells.readable(row)?;
            match &self.layout {
                Some(layout) => layout.row(&values, out)?,
                None => self.head.push(values),
            }
            if self.layout.is_none() && self.head.len() == ROWS_BEFORE_WIDTHS {
                self.begin(out)?;
            }
        }
        Ok(())
    }

    /// Fixes the layout and writes what was held back.
    fn begin(&mut self, out: &mut dyn Write) -> Result<(), RenderError> {
        let head = std::mem::take(&mut self.head);
        let layout = Layout::fit(&self.columns, head.iter(), Surface { width: None, ..self.surface });
        layout.header(&self.columns, out)?;
        for values in &head {
            layout.row(values, out)?;
        }
        self.layout = Some(layout);
        Ok(())
    }
}

impl Renderer for Table {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        self.rows += batch.num_rows() as u64;
        let cells = Cells::new(batch)?;
        match self.surface.rows {
            Some(most) => self.keep_ends(most, batch, &cells),
            None => self.stream(batch, &cells, out),
        }
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        let Some(most) = self.surface.rows else {
            if self.layout.is_none() {
                self.begin(out)?;
            }
            if let Some(layout) = &self.layout {
                layout.rule(Rule::Bottom, out)?;
            }
            return Ok(Shown { rows: self.rows, shown: self.rows });
        };
        let cut = self.rows as usize > most;
        if cut {
            // The tail holds what came after the head; fewer than half a screen of it means the head's end fills up.
            let missing = (most / 2).saturating_sub(self.tail.len());
            let from_head = self.head.split_off(most / 2);
            for values in from_head.into_iter().rev().take(missing) {
                self.tail.push_front(values);
            }
        }
        let layout = Layout::fit(&self.columns, self.head.iter().chain(&self.tail), self.surface);
        layout.header(&self.columns, out)?;
        for values in &self.head {
            layout.row(values, out)?;
        }
        if cut {
            let dot = if self.surface.ascii { "." } else { "·" };
            let dots: Vec<_> = self.columns.iter().map(|_| Cell::of(dot)).collect();
            layout.row(&dots, out)?;
        }
        for values in &self.tail {
            layout.row(values, out)?;
        }
        layout.rule(Rule::Bottom, out)?;
        Ok(Shown { rows: self.rows, shown: (self.head.len() + self.tail.len()) as u64 })
    }
}

/// Which columns a line shows, and how wide.
struct Layout {
    slots: Vec<Slot>,
    /// Whether cells wider than their slot are cut; otherwise they push the border out.
    cut: bool,
    ascii: bool,
    colours: bool,
}

#[derive(Clone, Copy)]
enum Rule {
    Top,
    Middle,
    Bottom,
}

/// Faint: a NULL is not the text "NULL".
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

enum Slot {
    Column {
        index: usize,
        width: usize,
        right: bool,
    },
    /// Stands for the columns left out.
    LeftOut,
}

impl Layout {
    fn fit<'a>(columns: &[Column], rows: impl Iterator<Item = &'a Vec<Cell>>, surface: Surface) -> Self {
        let of = |slots: Vec<Slot>, cut: bool| Self { slots, cut, ascii: surface.ascii, colours: surface.colours };
        let mut widths: Vec<usize> =
            columns.iter().map(|column| column.name.width().max(column.type_name.width())).collect();
        for values in rows {
            for (width, value) in widths.iter_mut().zip(values) {
                *width = (*width).max(value.text.width());
            }
        }
        let slot = |index: usize, width: usize| Slot::Column { index, width, right: columns[index].right };
        let all = |widths: &[usize]| widths.iter().enumerate().map(|(index, &width)| slot(index, width)).collect();
        let Some(limit) = surface.width else { return of(all(&widths), false) };
        let line = |widths: &[usize]| widths.iter().map(|width| width + 3).sum::<usize>() + 1;

        // Cut the widest columns first, all to one common width.
        let mut cap = widths.iter().copied().max().unwrap_or(0);
        while line(&widths) > limit && cap > WIDTH_MIN {
            cap -= 1;
            for width in &mut widths {
                *width = (*width).min(cap);
            }
        }
        if line(&widths) <= limit {
            return of(all(&widths), true);
        }
        // Then leave out columns from the middle; the outer ones are the ones that name a row. "│ … " takes 4.
        let (mut left, mut right, mut used) = (0, widths.len(), 1 + if surface.ascii { 6 } else { 4 });
        while left < right {
            let from_left = left <= widths.len() - right;
            let next = if from_left { left } else { right - 1 };
            if used + widths[next] + 3 > limit && left > 0 {
                break;
            }
            used += widths[next] + 3;
            if from_left {
                left += 1;
            } else {
                right -= 1;
            }
        }
        let mut slots: Vec<Slot> = (0..left).map(|index| slot(index, widths[index])).collect();
        slots.push(Slot::LeftOut);
        slots.extend((right..widths.len()).map(|index| slot(index, widths[index])));
        of(slots, true)
    }

    fn header(&self, columns: &[Column], out: &mut dyn Write) -> Result<(), RenderError> {
        self.rule(Rule::Top, out)?;
        let names: Vec<_> = columns.iter().map(|column| Cell::of(&column.name)).collect();
        self.row(&names, out)?;
        let types: Vec<_> = columns.iter().map(|column| Cell::of(&column.type_name)).collect();
        self.row(&types, out)?;
        self.rule(Rule::Middle, out)
    }

    fn rule(&self, rule: Rule, out: &mut dyn Write) -> Result<(), RenderError> {
        let [left, middle, right, along] = match rule {
            _ if self.ascii => ["+", "+", "+", "-"],
            Rule::Top => ["┌", "┬", "┐", "─"],
            Rule::Middle => ["├", "┼", "┤", "─"],
            Rule::Bottom => ["└", "┴", "┘", "─"],
        };
        let mut line = String::from(left);
        for (position, slot) in self.slots.iter().enumerate() {
            if position > 0 {
                line.push_str(middle);
            }
            let width = match slot {
                Slot::Column { width, .. } => *width,
                Slot::LeftOut => self.left_out().width(),
            };
            line.push_str(&along.repeat(width + 2));
        }
        line.push_str(right);
        writeln!(out, "{line}")?;
        Ok(())
    }

    /// Stands where something is missing.
    fn left_out(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    fn row(&self, values: &[Cell], out: &mut dyn Write) -> Result<(), RenderError> {
        let border = if self.ascii { '|' } else { '│' };
        let mut line = String::from(border);
        for slot in &self.slots {
            line.push(' ');
            match slot {
                Slot::LeftOut => line.push_str(self.left_out()),
                Slot::Column { index, width, right } => {
                    let Cell { text, null } = &values[*index];
                    let value = if self.cut { cut(text, *width, self.left_out()) } else { text.clone() };
                    let padding = " ".repeat(width.saturating_sub(value.width()));
                    let faint = *null && self.colours;
                    if *right {
                        line.push_str(&padding);
                    }
                    match faint {
                        true => line.extend([FAINT, &value, PLAIN]),
                        false => line.push_str(&value),
                    }
                    if !*right {
                        line.push_str(&padding);
                    }
                }
            }
            line.push(' ');
            line.push(border);
        }
        writeln!(out, "{line}")?;
        Ok(())
    }
}

/// The text in at most `width` terminal cells, with these characters where something is missing.
fn cut(text: &str, width: usize, left_out: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = left_out.width();
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if used + next > width {
            break;
        }
        used += next;
        short.push(c);
    }
    short.push_str(left_out);
    short
}
