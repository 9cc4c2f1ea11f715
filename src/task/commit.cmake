# Writes OUT, a header with the git commit that SOURCE is at; an empty one where SOURCE is not the top of a git work tree.
# Leaves the file alone when nothing changed, so that nothing is compiled again.
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-cdup
    RESULT_VARIABLE status OUTPUT_VARIABLE up ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
set(commit "")
if(status EQUAL 0 AND up STREQUAL "")
    execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=-changed --abbrev=12 "--exclude=*"
        OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define RUBATO_COMMIT \"${commit}\"\n")
