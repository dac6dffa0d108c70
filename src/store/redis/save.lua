-- Writes generation ARGV[2] with the record ARGV[3], if the stored generation is ARGV[1] (empty:
-- there is none). Compared as text, because a number here is exact only up to 2^53.
local stored = redis.call('HGET', KEYS[1], 'generation') or ''
if stored ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'record', ARGV[3])
return 1
