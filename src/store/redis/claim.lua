-- Takes or renews the lease for the holder ARGV[1], for ARGV[2] milliseconds: {1, fence}; or
-- tells who has it and how long: {0, holder, milliseconds}.
--
-- Up to the fence ARGV[3] the holder has given its leases back, so that a `release` which comes
-- late finds another fence. The time keeps fences growing even where the key was lost. The end
-- is a field and not the key's expiry, because keys that expire are the first to be evicted.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'holder', 'fence', 'until')
local holder, fence, ends = lease[1], tonumber(lease[2]) or 0, tonumber(lease[3]) or 0
local held = holder and ends > now
if held and holder ~= ARGV[1] then
  return {0, holder, ends - now}
end
local released = tonumber(ARGV[3])
if not held or fence <= released then
  fence = math.max(fence + 1, released + 1, now)
end
fence = string.format('%.0f', fence)
ends = string.format('%.0f', now + ARGV[2])
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'fence', fence, 'until', ends)
return {1, fence}
