// The curves of an opened cell: what is drawn, each with its finding as title, and how.
const ExplorerCharts = (function () {
  "use strict";
  const { three, median } = ExplorerGrid;
  const known = (values) => values.filter((value) => value != null);

  // Lines of several seeds, by epoch: their median and their range.
  function band(lines, more = {}) {
    const length = Math.max(0, ...lines.map((line) => line.length));
    const found = Array.from({ length }, (_, i) => known(lines.map((line) => line[i])));
    const each = (score) => found.map((values) => (values.length ? score(values) : null));
    return {
      values: each(median),
      low: each((values) => Math.min(...values)),
      high: each((values) => Math.max(...values)),
      ...more,
    };
  }

  // The charts of a cell, from its `detail`: {key, title, x, log, lines}; a line has values by x
  // from 1, may be dashed or thin, and may have a band from low to high.
  function charts(detail) {
    const { layers } = detail;
    return [...byEpoch(detail), ...(layers.n ? byLayer(layers) : [])];
  }

  function byEpoch({ accuracy, loss, running, outcomes }) {
    const percents = accuracy.map((line) => line.map((v) => (v == null ? null : v / 100)));
    const main = band(percents);
    const last = main.values.findLastIndex((v) => v != null);
    if (last < 0) return [];
    const end = (lines) => three(median(lines.map((line) => line[last])));
    const of = outcomes.some((outcome) => outcome >= 2) ? " of the seeds that did not diverge" : "";
    const start = main.values[0];
    return [
      {
        key: "accuracy",
        x: "epoch",
        log: false,
        title:
          `Test accuracy${of}: ` +
          (last > 0 && start != null ? `${start.toFixed(1)} % after 1 epoch, ` : "") +
          `${main.values[last].toFixed(1)} % after ${last + 1}`,
        lines: [main, ...percents.map((values) => ({ values, thin: true }))],
      },
      {
        key: "loss",
        x: "epoch",
        log: true,
        title:
          `Loss at the end, nats: ${end(running)} in training (dashed), ` +
          `${end(loss)} on the test images`,
        lines: [band(loss), band(running, { dashed: true })],
      },
    ];
  }

  function byLayer(layers) {
    const moments = [0, 1].filter((i) => layers.n[i]);
    const lines = (name, times = 1) =>
      moments.map((i) => ({
        values: layers[name][i].map((v) => (v == null ? null : times * v)),
        dashed: i === 0,
      }));
    const told = (text) =>
      moments.map((i) => `${text(i)} ${["before training", "after"][i]}`).join(", ");
    const ends = (name, i) => [layers[name][i][0], layers[name][i].at(-1)];
    // two digits, as the norms are rounded
    const ratio = (i) => {
      const [first, last] = ends("gradient", i);
      return first != null && last > 0 ? three(first / last, 2) : "–";
    };
    const spread = (i) =>
      ends("std", i)
        .map((v) => three(v))
        .join(" to ");
    const worst = (i) => `${(100 * Math.max(0, ...known(layers.dead[i]))).toFixed(0)} %`;
    return [
      {
        key: "gradient",
        x: "layer",
        log: true,
        title: `Gradient norm, first layer over last: ${told(ratio)}`,
        lines: lines("gradient"),
      },
      {
        key: "std",
        x: "layer",
        log: true,
        title: `Standard deviation of the activations, first to last layer: ${told(spread)}`,
        lines: lines("std"),
      },
      {
        key: "dead",
        x: "layer",
        log: false,
        title: `Dead units in the worst layer: ${told(worst)}`,
        lines: lines("dead", 100),
      },
    ];
  }

  // Side by side means on the same scales: each chart gets its `range` and the `last` x.
  function shareScales(all) {
    for (const key of new Set(all.map((chart) => chart.key))) {
      const same = all.filter((chart) => chart.key === key);
      const lines = same.flatMap((chart) => chart.lines);
      const values = lines
        .flatMap((line) => [...line.values, ...(line.low || []), ...(line.high || [])])
        .filter((v) => v != null && (v > 0 || !same[0].log));
      const last = Math.max(...lines.map((line) => line.values.length));
      for (const chart of same) Object.assign(chart, { range: range(chart, values), last });
    }
  }

  function range({ key, log }, values) {
    if (!values.length) return log ? [0.1, 10] : [0, 100];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (log) return [low / 1.4, high * 1.4];
    if (key === "dead") return [0, Math.max(10, 1.05 * high)];
    const room = Math.max(0.5, 0.08 * (high - low));
    return [low - room, Math.min(100, high + room)];
  }

  // Ticks of a logarithmic axis: at 1, 2 and 5 over two decades, else at few powers of ten.
  function logTicks(low, high) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const step = Math.ceil((last - first) / 6);
    const digits = high / low < 200 ? [1, 2, 5] : [1];
    const found = [];
    for (let power = Math.floor(first / step) * step; power <= last; power += step) {
      for (const digit of digits) found.push(Number(`${digit}e${power}`));
    }
    return found.filter((tick) => tick >= low && tick <= high);
  }

  // Draw a chart into an element, in the page's colours; returns what `destroy` frees.
  function draw({ lines, log, range, last }, host) {
    const style = getComputedStyle(host);
    const [main, soft, faint] = ["measured", "soft", "line"].map((name) =>
      style.getPropertyValue(`--${name}`).trim(),
    );
    const x = Array.from({ length: last }, (_, i) => i + 1);
    const column = (values) =>
      x.map((_, i) => (!log || values[i] > 0 ? (values[i] ?? null) : null));
    const [data, series, bands] = [[x], [{}], []];
    const edge = { stroke: "transparent", points: { show: false } };
    for (const line of lines) {
      if (line.low) {
        bands.push({ series: [series.length, series.length + 1], fill: `${main}26` });
        data.push(column(line.high), column(line.low));
        series.push(edge, edge);
      }
      data.push(column(line.values));
      series.push({
        stroke: line.thin ? `${main}59` : line.dashed ? soft : main,
        width: line.thin ? 0.75 : 2,
        dash: line.dashed ? [5, 3] : [],
        points: { show: !line.thin && last <= 12, size: 5 },
      });
    }
    const axis = {
      stroke: soft,
      grid: { stroke: faint, width: 1 },
      ticks: { stroke: faint },
      font: "12px system-ui, sans-serif",
    };
    const said = (_, ticks) => ticks.map((tick) => (tick == null ? "" : three(tick)));
    return new uPlot(
      {
        width: Math.max(160, host.clientWidth),
        height: 170,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, range: last > 1 ? [1, last] : [0.5, 1.5] },
          y: { distr: log ? 3 : 1, range },
        },
        axes: [
          { ...axis, size: 26, incrs: [1, 2, 5, 10, 20] },
          {
            ...axis,
            size: 58,
            values: said,
            ...(log && {
              splits: (_, i, low, high) => logTicks(low, high),
              filter: (_, all) => all,
            }),
          },
        ],
        series,
        bands,
      },
      data,
      host,
    );
  }

  return { charts, shareScales, logTicks, draw };
})();
