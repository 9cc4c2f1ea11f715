/* A prefix of the model_type of models with a part that `transformers` does not have, so that `transformers` refuses
 * them. */
#ifndef RUBATO_BASE_FOREIGN_H
#define RUBATO_BASE_FOREIGN_H

#define FOREIGN_PREFIX "rubato-"

#endif
