/* Runs before the first paint, so that nobody sees the other theme flash. A classic script: modules run later. */
try {
  const theme = localStorage.getItem("chorale.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the system's choice stands.
}
