/* The queue of items. */
#include "serve/queue.h"

void queue_create(queue *self) {
    *self = (queue){0};
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, NULL);
}

void queue_destroy(queue *self) {
    pthread_cond_destroy(&self->more);
    pthread_mutex_destroy(&self->lock);
}

/* Searches from the end, because most new items belong near it. */
void queue_insert(queue *self, item *one) {
    item *before = self->last;
    while (before && before->place > one->place) before = before->previous;
    one->previous = before;
    one->next = before ? before->next : self->first;
    *(one->next ? &one->next->previous : &self->last) = one;
    *(before ? &before->next : &self->first) = one;
    self->count++;
    self->tokens += one->tokens;
    self->least_ms += one->least_ms;
}

void queue_remove(queue *self, item *one) {
    *(one->previous ? &one->previous->next : &self->first) = one->next;
    *(one->next ? &one->next->previous : &self->last) = one->previous;
    one->next = one->previous = NULL;
    self->count--;
    self->tokens -= one->tokens;
    self->least_ms = self->count ? self->least_ms - one->least_ms : 0;
}
