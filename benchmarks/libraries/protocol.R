# The protocol of benchmarks/worker.py for libraries of R: Rscript bench_<name>.R FOLDER FORMULA FAMILY TASK
#
# A script sources this file, in the repository's root, and calls serve().

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
formula <- as.formula(arguments[2])
family <- arguments[3]
task <- arguments[4]

options(error = function() {
  cat(gsub("\n", " ", geterrmessage()), "\n", file = stderr())
  quit(status = 1)
})

quoted <- function(text) paste0("\"", gsub("\"", "'", text), "\"")

reply <- function(...) {
  parts <- c(...)
  cat("{", paste0("\"", names(parts), "\": ", parts, collapse = ", "), "}\n", sep = "")
  flush(stdout())
}

# Peak memory in bytes above what is in use now, as benchmarks/memory.py has it.
status <- function(key) {
  line <- grep(paste0("^", key, ":"), readLines("/proc/self/status"), value = TRUE)
  1024 * as.numeric(sub("[^0-9]*([0-9]+).*", "\\1", line))
}
memory_start <- function() tryCatch({
  cat("5", file = "/proc/self/clear_refs")
  status("VmRSS")
}, error = function(e) NA, warning = function(w) NA)
memory_above <- function(begin) if (is.na(begin)) "null" else format(max(status("VmHWM") - begin, 0), scientific = FALSE)

seconds <- function() as.numeric(Sys.time())

read_data <- function() {
  data <- read.csv(file.path(folder, "data.csv"))
  levels <- read.csv(file.path(folder, "levels.csv"), colClasses = "character", na.strings = character())
  for (column in unique(levels$column)) {
    data[[column]] <- factor(data[[column]], levels = levels$level[levels$column == column])
  }
  data
}

# Numbers to their last bit.
digits <- function(x) formatC(x, digits = 17, format = "g")

# Fit whenever told to. The first fit's time includes loading the library.
#
# refusal(): why the library cannot fit this problem, or NULL.
# fit(data): the fit, which is timed; answer(found): its table of coefficients or covariances.
serve <- function(library, refusal, fit, answer) {
  began <- seconds()
  if (!suppressPackageStartupMessages(require(library, character.only = TRUE, quietly = TRUE))) {
    reply(skipped = quoted(paste(library, "is not installed in R")))
    return(invisible())
  }
  loading <- seconds() - began
  version <- quoted(as.character(packageVersion(library)))
  if (!is.null(refusal())) {
    reply(skipped = quoted(refusal()), version = version)
    return(invisible())
  }
  data <- read_data()
  invisible(gc())
  reply(ready = "true", version = version)
  requests <- file("stdin", "r")
  first <- TRUE
  while (length(request <- readLines(requests, n = 1))) {
    in_use <- if (first || request == "memory") memory_start() else NA
    began <- seconds()
    found <- suppressWarnings(suppressMessages(fit(data)))
    elapsed <- seconds() - began
    memory <- memory_above(in_use)
    if (first) {
      table <- answer(found)
      write.csv(table, file.path(folder, paste0("answer-", library, ".csv")), row.names = FALSE, na = "")
      elapsed <- elapsed + loading
      first <- FALSE
    }
    rm(found)
    invisible(gc())
    reply(seconds = format(elapsed, digits = 9), memory = memory, details = "{}")
  }
}
