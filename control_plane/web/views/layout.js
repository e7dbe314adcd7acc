/** Where the tiles of the stage lie: numbers only. All lengths in CSS pixels. */

const GAP = 10;
const RATIO = 16 / 9; // of every tile in the grid; a camera that is another shape is cut to it, a screen is fitted in
const STRIP = { beside: 208, below: 108 }; // width of the strip beside the large tile, height of one below it
const SMALL = 0.26; // share of the width that one's own screen takes, lying over the others

/** The grid of `count` tiles in which they are largest, in the middle of `area` ({left, top, width, height}). */
export function grid(count, area) {
  let best = { size: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const width = (area.width - GAP * (columns - 1)) / columns;
    const height = (area.height - GAP * (rows - 1)) / rows;
    const size = Math.min(width, height * RATIO);
    if (size > best.size) best = { size, columns, rows };
  }
  const { size: width, columns, rows } = best;
  if (!(width > 1)) return Array.from({ length: count }, () => ({ left: area.left, top: area.top, width: 0, height: 0 }));
  const height = width / RATIO;
  const top = area.top + (area.height - rows * height - (rows - 1) * GAP) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = area.left + (area.width - inRow * width - (inRow - 1) * GAP) / 2;
    return rounded({
      left: left + (index % columns) * (width + GAP),
      top: top + row * (height + GAP),
      width,
      height,
    });
  });
}

/**
 * A rectangle for each of `tiles` ({key, isSmall}), by key, on a stage of that size. The one that is `pinned` is large, the others are
 * a strip: beside it where the stage is wide, else below. A small one lies in a corner over the rest, unless it is alone.
 */
export function layOut(tiles, { width, height }, pinned = null) {
  const area = { left: 0, top: 0, width, height };
  const large = tiles.filter(({ key }) => key === pinned);
  const small = tiles.filter((each) => each.isSmall && each.key !== pinned && tiles.length > 1);
  const others = tiles.filter((each) => !large.includes(each) && !small.includes(each));
  const rectangles = new Map();
  const put = (some, places) => some.forEach(({ key }, index) => rectangles.set(key, places[index]));
  const [main, strip] = large.length && others.length ? split(area, others.length) : [area, area];
  put(large, [rounded(main)]);
  put(others, grid(others.length, strip));
  for (const { key } of small) {
    const across = Math.min(240, Math.max(112, width * SMALL));
    const down = across / RATIO;
    const [right, bottom] = [main.left + main.width, main.top + main.height];
    rectangles.set(key, rounded({ left: right - across - GAP, top: bottom - down - GAP, width: across, height: down }));
  }
  return rectangles;
}

function split(area, count) {
  if (area.width > 1.15 * area.height) {
    // Two columns when one would make them too small to see.
    const one = (STRIP.beside / RATIO + GAP) * count <= area.height * 1.6;
    const strip = Math.min(one ? STRIP.beside : 1.6 * STRIP.beside, area.width * 0.34);
    const width = area.width - strip - GAP;
    return [
      { ...area, width },
      { ...area, left: area.left + width + GAP, width: strip },
    ];
  }
  const strip = Math.min(area.height * 0.36, STRIP.below * (count > 3 ? 1.9 : 1));
  const height = area.height - strip - GAP;
  return [
    { ...area, height },
    { ...area, top: area.top + height + GAP, height: strip },
  ];
}

const rounded = (rectangle) => Object.fromEntries(Object.entries(rectangle).map(([name, value]) => [name, Math.round(value)]));
