# Writes the small data sets as CSV, with the level order of every factor in <name>.levels.json.

suppressPackageStartupMessages({
  library(lme4)
  library(ordinal)
  library(jsonlite)
})

for (name in c("sleepstudy", "Penicillin", "Pastes", "Dyestuff", "Dyestuff2", "cake", "cbpp", "grouseticks", "grouseticks_agg",
               "Arabidopsis", "wine", "soup")) {
  frame <- get(name)
  if (name == "cbpp") frame$proportion <- frame$incidence / frame$size
  if (name == "Arabidopsis") frame <- transform(frame, gen = factor(gen), rack = factor(rack))
  factors <- Filter(is.factor, frame)
  write.csv(format(frame, digits = 15, trim = TRUE), paste0(name, ".csv"), row.names = FALSE, quote = FALSE)
  sidecar <- lapply(factors, function(f) list(levels = levels(f), ordered = is.ordered(f)))
  write(toJSON(sidecar, auto_unbox = TRUE, pretty = TRUE), paste0(name, ".levels.json"))
}
