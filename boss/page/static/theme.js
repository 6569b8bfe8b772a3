// The colours that were chosen, before anything is drawn: "" follows the system.
(function () {
  const chosen = localStorage.getItem("ecloud-theme") || "";
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
